"""What is in a data set, and what is wrong with it, before a training finds out."""

from keras_asit.audit.auditing import FBANK_CLIPS, audit
from keras_asit.audit.findings import DROPPED, KINDS, Findings
from keras_asit.audit.summary import summary

__all__ = ["DROPPED", "FBANK_CLIPS", "KINDS", "Findings", "audit", "summary"]
