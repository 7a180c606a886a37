-- Where changes are told.
SELECT lovage_schedule_channel() AS channel
