"""The scorecard: the paper's claims as objects, each judged on the records by one rule, and the page that shows them.

    rule.py         the statistical rule: from samples to a verdict
    quantities.py   what a claim speaks of, and where its numbers come from
    claim.py        what a claim is, and how it is judged in a profile
    budget.py       under which budget, and on which data, a number was reached
    declared/       the claims themselves, a file for each part of the paper
    card.py         all claims of a profile, judged; the table `claims`
    page.py         the page
"""
