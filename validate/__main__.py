"""`python -m validate`: works on what is wrong, and on whether the checks would see it.

The key insight: as everywhere, importing does nothing.
"""

if __name__ == "__main__":
    import sys

    from validate.cli import main

    sys.exit(main())
