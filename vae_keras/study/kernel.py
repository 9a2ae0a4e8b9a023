"""A notebook kernel that ends when its parent process ends.

`python -m vae_keras.study.kernel -f FILE` starts ipykernel. On Linux, the operating system kills
the kernel as soon as its parent ends, even if the parent is killed. On other systems, ipykernel
checks once a second whether the parent is alive.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(os.environ["JPY_PARENT_PID"]):  # already ended
            sys.exit(1)
    runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
