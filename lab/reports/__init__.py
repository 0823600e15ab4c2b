"""What runs say: result tables, the ledger of claims, and one HTML page. Reads files, never torch."""

from lab.reports.groups import Group, groups
from lab.reports.ledger import Verdict, claims_text, verdicts
from lab.reports.page import write_report
from lab.reports.results import Results
from lab.reports.tables import Table, results_table

__all__ = ["Group", "Results", "Table", "Verdict", "claims_text", "groups", "results_table", "verdicts", "write_report"]
