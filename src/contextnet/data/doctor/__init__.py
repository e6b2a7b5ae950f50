"""What masks hold and which label sets would read them: counted, compared, proposed. No torch."""

from __future__ import annotations

from contextnet.data.doctor.census import MaskCensus, count_masks
from contextnet.data.doctor.diagnosis import Diagnosis, diagnose
from contextnet.data.doctor.proposal import Proposal
from contextnet.data.doctor.source import diagnose_source
from contextnet.data.doctor.table import proposal_yaml

__all__ = ["Diagnosis", "MaskCensus", "Proposal", "count_masks", "diagnose", "diagnose_source", "proposal_yaml"]
