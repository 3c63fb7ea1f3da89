"""Tools of this repository that no installed package needs."""
