"""Rules over live inputs, and what they set off: lines, files, commands, webhooks and MQTT."""

from audioinceptionnext.alerts.engine import Alerts as Alerts
from audioinceptionnext.alerts.reading import load_rules as load_rules
