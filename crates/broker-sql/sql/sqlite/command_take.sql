-- Takes a worker's commands; the answer is in no order.
DELETE FROM lovage_command WHERE worker = ?1 RETURNING seq, command
