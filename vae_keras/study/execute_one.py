"""One run: notebook 02 executed by papermill, under the run's lock.

`execute` starts `python -m vae_keras.study.execute_one NOTEBOOK PARAMETERS FORCE`, the last two as
JSON, for each run. It prints the reason of a failure, and ends when its standard input ends, so it
does not outlive the sweep.
"""

import json
import os
import sys
import threading

import papermill
from filelock import FileLock, Timeout
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from vae_keras.study import runs

# Exit statuses: the run is finished, it failed as `failed.json` says, or another sweep executes it.
FINISHED, FAILED, BUSY = 0, 3, 4
# Kernels that start at the same time may pick the same port. One of them then dies before it has
# run anything, and is started again.
KERNEL_STARTS = 3
KERNEL_NOT_STARTED = "Kernel died before replying to kernel_info"
# A run whose launcher was killed, and which is taken up elsewhere at once, may still be ending.
LOCK_SECONDS = 2
# Errors of the machine and not of the run: the next sweep tries again.
PASSING = ("OSError", "MemoryError", "ResourceExhaustedError")


class KernelManager(AsyncKernelManager):
    """Starts `vae_keras.study.kernel`, with the Python that runs this."""

    def format_kernel_cmd(self, extra_arguments=None):
        command = [sys.executable, "-m", "vae_keras.study.kernel", "-f", self.connection_file]
        return command + (extra_arguments or [])


def execute_one(notebook, parameters, force=False):
    """Executes a notebook for one run, unless somebody else does or has done so.

    Args:
        notebook: path of the notebook.
        parameters: dict of every one of `PARAMETERS`.
        force: whether a finished run is executed again.

    Returns:
        Pair of `FINISHED`, `FAILED` or `BUSY`, and of the reason of a failure or `None`.
    """
    folder = runs.models_folder() / runs.run_name(parameters)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            if not force and runs.is_finished(parameters):
                return FINISHED, None
            failure = _execute(notebook, folder / os.path.basename(notebook), parameters)
            if failure is None and not runs.is_finished(parameters):
                failure = "the notebook ended, but did not finish the run", False
            if failure is None:
                return FINISHED, None
            runs.fail_run(parameters, *failure)
            return FAILED, failure[0]
    except Timeout:
        return BUSY, None


def _execute(notebook, output, parameters):
    """Returns `None`, or why it failed and whether it is worth another try."""
    for start in range(1, KERNEL_STARTS + 1):
        output.unlink(missing_ok=True)
        try:
            papermill.execute_notebook(
                notebook,
                output,
                parameters,
                kernel_name="python3",
                progress_bar=False,
                kernel_manager_class=KernelManager,
            )
            return None
        except PapermillExecutionError as error:
            reason = f"{error.ename}: {error.evalue}\nin cell [{error.exec_count}] of {output}:\n"
            return reason + error.source.strip(), error.ename in PASSING
        except DeadKernelError:
            return "the kernel died: it was killed, or the memory did not suffice", True
        except OSError as error:  # the disk is full, for example
            return f"{type(error).__name__}: {error}", True
        except RuntimeError as error:
            if KERNEL_NOT_STARTED not in str(error) or start == KERNEL_STARTS:
                return f"the kernel did not start: {error}", True


def _end_with_standard_input():
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_standard_input, daemon=True).start()
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what kernels print goes with the messages
    status, reason = execute_one(sys.argv[1], *map(json.loads, sys.argv[2:]))
    print(reason or "", file=output)
    output.close()
    sys.exit(status)
