"""Any program as a method: an entry of a configuration file instead of a plug-in."""
