"""Code shared by the programs of remoteconnect, for one of three reasons.

`wire`: bytes that cross a network or a socket. `runtime`: what every process needs.
`tunnel`: what both ends of a tunnel need.
"""
