"""A notebook's kernel that ends with the process that started it.

`python -m vae_keras.study.kernel -f FILE` is ipykernel's own command, but Linux kills the kernel
when that process ends, however it ends. Elsewhere ipykernel looks for itself, once a second.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ["JPY_PARENT_PID"]):  # it has ended already
            sys.exit(1)
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
