"""The parts of torchtext that language_translation imports: plain Python, over sentences that train_data.py made."""
