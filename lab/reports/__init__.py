"""What a run says: result table, claims with verdicts, and one HTML page. Reads files, never torch."""

from lab.reports.ledger import Verdict, claims, claims_text
from lab.reports.page import write_report
from lab.reports.tables import Table, metrics_table, results_table

__all__ = ["Table", "Verdict", "claims", "claims_text", "metrics_table", "results_table", "write_report"]
