"""Models one after another: the outputs of each are the inputs of the next.

Rules of this room:
1. Whether members fit is found out when a chain is made, from their signatures; what no signature
   says (a function's answer without a hint) is looked at when it comes.
2. A chain is a model like any other, with a queue of its own. Its members stay what they are: each
   runs by its own plan, and where no engine of its own runs it, on its own thread, in its own queue.
3. A chain holds its members' versions. When a member is replaced a new chain is made, and swapped in.
"""

from .chain import ChainPredictor
from .members import ChainRuntime, Member, Word, members_of, parse_word

__all__ = ["ChainPredictor", "ChainRuntime", "Member", "Word", "members_of", "parse_word"]
