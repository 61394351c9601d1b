"""What a detector costs: multiply-adds, parameters, milliseconds, and the width that costs as much as another."""
