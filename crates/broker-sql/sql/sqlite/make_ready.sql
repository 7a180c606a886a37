-- Makes a message ready at position ?2.
UPDATE lovage_task SET place = 0, at = NULL, position = ?2 WHERE seq = ?1
