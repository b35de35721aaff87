"""Real receipts: a line reader made from the embedded one, and what training on rendered lines alone is worth.

The embedded reader has never seen a scan. Here it learns the lines of real receipts, is damaged on them like any other reader, and
is judged on companies that it has never seen (``make receipts``; results in docs/receipts.md).
"""
