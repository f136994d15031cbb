"""A trained run put to use: lists of categories and products, changes of history, diversity, reasons."""
