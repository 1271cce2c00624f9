"""`python -m segjob` is the command `segjob`."""

from segjob.cli import main

if __name__ == "__main__":
    main()
