"""Counts the files that are made, written and deleted below folders of dates, by their extensions."""
