"""What each command prints: functions from a machine and arguments to text. ``cli`` parses and exits."""
