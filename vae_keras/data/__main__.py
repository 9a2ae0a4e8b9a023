import sys

from vae_keras.data.load import main

sys.exit(main())
