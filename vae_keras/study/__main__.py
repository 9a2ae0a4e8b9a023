import sys

from vae_keras.study.command import main

if __name__ == "__main__":
    sys.exit(main())
