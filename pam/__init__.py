"""PAM: networks, preprocessing, propagation, adapters, training. Importing it loads no torch."""
