"""The runtimes that efcompile is compared with, one to a file, at their best settings for fp32."""
