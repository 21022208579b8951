"""A Bedrock-shaped server on loopback that makes believable, clearly marked pictures.

It imports nothing else of batchgen: what it says of the wire, of limits and of prices it says on
its own account, so that a mistake in batchgen cannot cancel itself out.
"""
