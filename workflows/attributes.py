"""Search attributes under which operators find runs in Temporal; all are keywords."""

from temporalio.common import SearchAttributeKey

RESOURCE = SearchAttributeKey.for_keyword("RefloatResource")
KIND = SearchAttributeKey.for_keyword("RefloatKind")
MODE = SearchAttributeKey.for_keyword("RefloatMode")
PHASE = SearchAttributeKey.for_keyword("RefloatPhase")
VERDICT = SearchAttributeKey.for_keyword("RefloatVerdict")
RUN = SearchAttributeKey.for_keyword("RefloatRun")

ALL = (RESOURCE, KIND, MODE, PHASE, VERDICT, RUN)
