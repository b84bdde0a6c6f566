DELETE FROM windlass_news WHERE number <= (SELECT max(number) FROM windlass_news) - ?
