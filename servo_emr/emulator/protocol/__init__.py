"""How AWS's services are spoken to: operations' names, shapes, errors. Knows no operation's meaning."""
