select world.chain('u07', '88607');
