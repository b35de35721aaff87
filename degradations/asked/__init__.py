"""What is asked about a page: questions, what else on the page answers them, and pages that answer none.

Nothing here knows of damage; ``degradations.damage`` takes the questions from here.
"""
