"""How a search chooses what to evaluate next: strategies, their operators, and what they may propose."""
