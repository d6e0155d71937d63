"""`python -m synth`: the main job.

The key insight: worker processes import this module again, under another name, so it does nothing unless it is run.
"""

if __name__ == "__main__":
    import sys

    from synth.cli import main

    sys.exit(main())
