"""What the benchmarks share: the header line, tables, and runs in a child process."""

import argparse
import datetime
import importlib.metadata
import importlib.util
import multiprocessing
import platform
import resource
import sys
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

import skjointprune


def make_parser(text):
    """Return a parser that shows a module's docstring, line breaks included."""
    return argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def print_header():
    """Print date, versions, processor and threads: what a figure depends on."""
    packages = ["torch", "scikit-learn", "skorch", "numpy", "lassonet"]
    versions = [f"skjointprune {getattr(skjointprune, '__version__', 'unknown')}"]
    versions += [
        f"{package} {importlib.metadata.version(package)}"
        for package in packages
        if importlib.util.find_spec(package.replace("scikit-learn", "sklearn"))
    ]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{datetime.date.today()}; {_cpu_model()}; {gpu}; ", end="")
    print(f"{torch.get_num_threads()} torch threads; Python ", end="")
    print(f"{platform.python_version()}, {', '.join(versions)}", flush=True)


def _cpu_model():
    """Name the processor, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def print_table(rows):
    """Print a list of dicts that share their keys."""
    print(tabulate(rows, headers="keys", disable_numparse=True), flush=True)


def mean_and_std(values, digits=4):
    """Write values as 'mean ± standard deviation' (population, over seeds)."""
    return f"{np.mean(values):.{digits}f} ± {np.std(values):.{digits}f}"


def peak_memory_mb():
    """Return the largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def run_in_child(function, *args, budget=None, preload=()):
    """Return ``function(*args)`` as computed by a fresh process.

    Its peak memory is then its own. Raises TimeoutError, and ends the process, if
    the result is not there after `budget` seconds. Modules of `preload` are imported
    once for the processes of all calls, if they are installed and the system can fork.
    """
    fork = preload and "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if fork else "spawn")
    if fork:
        context.set_forkserver_preload(list(preload))
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, function, args))
    process.start()
    sender.close()
    try:
        if not receiver.poll(budget):
            raise TimeoutError(f"No result after {budget:g} s.")
        return receiver.recv()
    except EOFError:
        raise RuntimeError(
            "The run ended with no result; see its error above."
        ) from None
    finally:
        process.kill()
        process.join()


def _send(sender, function, args):
    sender.send(function(*args))
