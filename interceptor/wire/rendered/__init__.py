"""What comes back, as whoever receives it reads it: passages of text with their setting.

`readers.reader_for` picks a reader; `reader.Reader` is what each of them does.
"""
