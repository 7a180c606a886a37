-- Where the next ?8 rows end, if there are so many.
ORDER BY finished_at DESC, id DESC LIMIT 1 OFFSET ?8 - 1
