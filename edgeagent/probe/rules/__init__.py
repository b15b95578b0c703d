"""Rules of each architecture: what the documents say about KVM, where opening /dev/kvm didn't answer."""
