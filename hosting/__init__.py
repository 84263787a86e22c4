"""What puts the application somewhere: a Space, a container, and the audit of what it depends on."""
