"""Executes the notebook of one run with papermill, under the run's lock.

For each run, `execute` starts `python -m vae_keras.study.execute_one NOTEBOOK PARAMETERS FORCE`,
with the last two as JSON. The process prints the reason if the run fails. It ends when its standard
input closes, so it does not outlive the sweep.
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

# Exit statuses: the run finished, it failed (see `failed.json`), or another sweep is executing it.
FINISHED, FAILED, BUSY = 0, 3, 4
# Kernels that start at the same time may pick the same port. One of them then dies before it runs
# anything, and is restarted.
KERNEL_STARTS = 3
KERNEL_NOT_STARTED = "Kernel died before replying to kernel_info"
# After its launcher is killed, a run may still hold its lock for a moment.
LOCK_SECONDS = 2
# Errors caused by the machine, not by the run: the next sweep tries again.
PASSING = ("OSError", "MemoryError", "ResourceExhaustedError")


class KernelManager(AsyncKernelManager):
    """Starts `vae_keras.study.kernel` with the current Python."""

    def format_kernel_cmd(self, extra_arguments=None):
        command = [sys.executable, "-m", "vae_keras.study.kernel", "-f", self.connection_file]
        return command + (extra_arguments or [])


def execute_one(notebook, parameters, force=False):
    """Executes a notebook for one run, unless the run is finished or locked by another sweep.

    Args:
        notebook: path of the notebook.
        parameters: dict of all `PARAMETERS`.
        force: whether to execute a finished run again.

    Returns:
        Pair of `FINISHED`, `FAILED` or `BUSY`, and the reason of a failure or `None`.
    """
    folder = runs.models_folder() / runs.run_name(parameters)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=LOCK_SECONDS):
            if not force and runs.is_finished(parameters):
                return FINISHED, None
            failure = _execute(notebook, folder / os.path.basename(notebook), parameters)
            if failure is None and not runs.is_finished(parameters):
                failure = "the notebook ended without finishing the run", False
            if failure is None:
                return FINISHED, None
            runs.fail_run(parameters, *failure)
            return FAILED, failure[0]
    except Timeout:
        return BUSY, None


def _execute(notebook, output, parameters):
    """Returns `None`, or why the notebook failed and whether the next sweep should retry it."""
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
            return "the kernel died: it was killed or ran out of memory", True
        except OSError as error:  # for example, the disk is full
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
    os.dup2(2, 1)  # the output of kernels goes to standard error
    status, reason = execute_one(sys.argv[1], *map(json.loads, sys.argv[2:]))
    print(reason or "", file=output)
    output.close()
    sys.exit(status)
