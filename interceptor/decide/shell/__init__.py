"""What a shell would run: commands of a text, their quoting and expansions undone."""
