"""The arms of the study, a method a file; ``lessons`` are warm starts and ``probers`` small heads, which several arms take."""
