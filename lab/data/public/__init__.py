"""Public sets for classification. `lab.data.public:food101` is the data set class of that name."""

from __future__ import annotations

from lab.data.public.array_records import ARRAY_RECORDS
from lab.data.public.folder_records import FOLDER_RECORDS
from lab.data.public.listed_records import LISTED_RECORDS
from lab.data.public.microscopy_records import MICROSCOPY_RECORDS
from lab.data.public.sets import PublicImages, data_set

RECORDS = {record.name: record for record in (*ARRAY_RECORDS, *LISTED_RECORDS, *FOLDER_RECORDS, *MICROSCOPY_RECORDS)}
SETS = {name: data_set(record) for name, record in RECORDS.items()}


def __getattr__(name: str) -> type[PublicImages]:
    """The classes have no lines of their own; the registry asks for them by name."""
    try:
        return SETS[name]
    except KeyError:
        raise AttributeError(f"module {__name__} has no attribute {name}") from None
