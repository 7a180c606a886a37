-- How many edits there were.
SELECT n FROM lovage_schedule_change
