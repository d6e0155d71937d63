"""`python -m corpus`: looks at data sets.

The key insight: as everywhere, importing does nothing.
"""

if __name__ == "__main__":
    import sys

    from corpus.cli import main

    sys.exit(main())
