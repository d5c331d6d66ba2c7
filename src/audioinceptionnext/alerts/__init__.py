"""Rules over live inputs, and what they set off: lines, files, commands, webhooks and MQTT."""
