select world.chain('u16', '88616');
