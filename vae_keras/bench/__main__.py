import sys

from vae_keras.bench.measure import main

if __name__ == "__main__":  # the contestants' processes import this module too
    sys.exit(main())
