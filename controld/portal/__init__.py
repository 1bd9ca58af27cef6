"""The portal: pages for people over the same handlers that programs use.

A page admits its visitor by the API's own check and asks the API's own handlers, so that nothing
can be seen or done here that the API would refuse.
"""
