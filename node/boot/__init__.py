"""From a network card to a member of the cluster: what the node itself runs while it boots.

    epoxy_client   asks the boot server for the next action and does it      python3 -I -m node.boot.epoxy_client
    stage2         first program of the small initramfs: network, client     python3 -I -S -m node.boot.stage2
    stage1, actions   pure: the texts that firmware, iPXE and clients get     imported by image builder and server

Standard library only, and modules that start quickly: an emulated or slow machine pays ten times for each import,
which is why values here are named tuples and not dataclasses. docs/boot.md has the whole sequence.
"""
