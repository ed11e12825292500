"""What starts workflows by itself: times (cron) and files."""
