"""The payment processor: the port, the Stripe adapter, the webhook signature."""
